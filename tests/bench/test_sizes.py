from gliomaseg.bench.sizes import sizes_for


def test_the_reference_is_the_reference_recipe():
    assert sizes_for().reference.network.name == "fcn_resnet50"
    assert sizes_for().reference.preprocessing.size_px == 256


def test_only_the_full_plan_predicts_ten_thousand_slices():
    assert sizes_for().grown == (100, 1_000)
    assert sizes_for(full=True).grown == (100, 1_000, 10_000)


def test_the_quick_plan_is_small():
    assert sizes_for(quick=True).reference.preprocessing.size_px == 64
    assert max(sizes_for(quick=True).grown) < 100

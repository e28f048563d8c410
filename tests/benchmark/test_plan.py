from gliomaseg.benchmark.plan import plan_for


def test_the_reference_is_the_reference_recipe():
    assert plan_for().reference.network.name == "fcn_resnet50"
    assert plan_for().reference.preparation.size_px == 256


def test_only_the_full_plan_predicts_ten_thousand_slices():
    assert plan_for().grown == (100, 1_000)
    assert plan_for(full=True).grown == (100, 1_000, 10_000)


def test_the_quick_plan_is_small():
    assert plan_for(quick=True).reference.preparation.size_px == 64
    assert max(plan_for(quick=True).grown) < 100

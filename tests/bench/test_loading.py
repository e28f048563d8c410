from gliomaseg.bench import loading


def test_both_sides_give_the_same_slices(material):
    (row,) = loading.measure(material)
    assert row.unit == "slices/s"
    assert len(row.ours.values) == len(row.peer.values) == 1
    assert row.agreement["largest_difference_levels"] == 0 or "OpenCV" in row.peer.what
    assert row.agreement["mask_pixels_different"] == 0

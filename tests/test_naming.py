"""The case and the role in file names."""

from __future__ import annotations

import pytest

from gliomaseg.naming import channel_of, parse_name

NAMES = [
    # BIDS
    ("sub-01_FLAIR", "sub-01", "flair"),
    ("sub-01_T1w", "sub-01", "t1"),
    ("sub-01_T2w", "sub-01", "t2"),
    ("sub-01_PD", "sub-01", "other"),
    ("sub-01_PDw", "sub-01", "other"),
    ("sub-01_T2starw", "sub-01", "other"),
    ("sub-01_ce-gadolinium_T1w", "sub-01", "t1ce"),
    ("sub-01_ses-1_acq-x_ce-gadolinium_T1w", "sub-01_ses-1", "t1ce"),
    ("sub-01_ses-1_acq-3D_run-2_FLAIR", "sub-01_ses-1", "flair"),
    ("sub-01_space-T1w_FLAIR", "sub-01", "flair"),
    ("sub-01_dseg", "sub-01", "mask"),
    ("sub-01_label-GM_probseg", "sub-01", "mask"),
    ("sub-01_space-T1w_desc-lesion_mask", "sub-01", "mask"),
    ("sub-01_label-lesion_roi", "sub-01", "mask"),
    ("sub-01_dwi", "sub-01", "other"),
    ("sub-01_task-rest_bold", "sub-01", "other"),
    # BraTS 2012 to 2025
    ("BraTS-GLI-00000-000-t1n", "BraTS-GLI-00000-000", "t1"),
    ("BraTS-GLI-00000-000-t1c", "BraTS-GLI-00000-000", "t1ce"),
    ("BraTS-GLI-00000-000-t2w", "BraTS-GLI-00000-000", "t2"),
    ("BraTS-GLI-00000-000-t2f", "BraTS-GLI-00000-000", "flair"),
    ("BraTS-GLI-00000-000-seg", "BraTS-GLI-00000-000", "mask"),
    ("BraTS20_Training_001_t1", "BraTS20_Training_001", "t1"),
    ("BraTS20_Training_001_t1ce", "BraTS20_Training_001", "t1ce"),
    ("BraTS20_Training_001_t2", "BraTS20_Training_001", "t2"),
    ("BraTS20_Training_001_flair", "BraTS20_Training_001", "flair"),
    ("BraTS20_Training_001_seg", "BraTS20_Training_001", "mask"),
    ("VSD.Brain.XX.O.MR_Flair.54512", "VSD", "flair"),
    ("VSD.Brain.XX.O.MR_T1c.54514", "VSD", "t1ce"),
    ("VSD.Brain_3more.XX.O.OT.54517", "VSD", "mask"),
    # UCSF-PDGM
    ("UCSF-PDGM-0004_FLAIR", "UCSF-PDGM-0004", "flair"),
    ("UCSF-PDGM-0004_FLAIR_bias", "UCSF-PDGM-0004", "flair"),
    ("UCSF-PDGM-0004_T1", "UCSF-PDGM-0004", "t1"),
    ("UCSF-PDGM-0004_T1c", "UCSF-PDGM-0004", "t1ce"),
    ("UCSF-PDGM-0004_T1gad_bias", "UCSF-PDGM-0004", "t1ce"),
    ("UCSF-PDGM-0004_SWI", "UCSF-PDGM-0004", "other"),
    ("UCSF-PDGM-0004_ADC", "UCSF-PDGM-0004", "other"),
    ("UCSF-PDGM-0004_DTI_eddy_FA", "UCSF-PDGM-0004", "other"),
    ("UCSF-PDGM-0004_brain_segmentation", "UCSF-PDGM-0004", "mask"),
    ("UCSF-PDGM-0004_brain_parenchyma_segmentation", "UCSF-PDGM-0004", "mask"),
    ("UCSF-PDGM-0004_tumor_segmentation", "UCSF-PDGM-0004", "mask"),
    # UPENN-GBM, REMBRANDT and TCGA, RSNA
    ("UPENN-GBM-00001_11_FLAIR", "UPENN-GBM-00001_11", "flair"),
    ("UPENN-GBM-00001_11_FLAIR_unstripped", "UPENN-GBM-00001_11", "flair"),
    ("UPENN-GBM-00001_11_T1GD", "UPENN-GBM-00001_11", "t1ce"),
    ("UPENN-GBM-00001_11_automated_approx_segm", "UPENN-GBM-00001_11", "mask"),
    ("TCGA-CS-4942_1997.02.22_flair", "TCGA-CS-4942_1997.02.22", "flair"),
    ("TCGA-CS-4942_1997.02.22_t1Gd", "TCGA-CS-4942_1997.02.22", "t1ce"),
    ("TCGA-CS-4942_1997.02.22_GlistrBoost_ManuallyCorrected", "TCGA-CS-4942_1997.02.22", "mask"),
    ("HF1538_1994.07.02_flair_LPS_rSRI", "HF1538_1994.07.02", "flair"),
    ("00000_T1wCE", "00000", "t1ce"),
    ("00000_T1w", "00000", "t1"),
    # other data sets
    ("training01_01_mask1", "training01_01", "mask"),
    ("patient01_consensus_gt", "patient01", "mask"),
    ("patient01_T1WKS", "patient01", "t1ce"),
    ("ManualSegmentation_1", "1", "mask"),
    ("Consensus", "", "mask"),
    ("1_FLAIR_isovox", "1", "flair"),
    ("wmh", "", "mask"),
    ("TCGA_CS_4941_19960909_1_mask", "TCGA_CS_4941_19960909_1", "mask"),
    # hospitals
    ("T2_FLAIR", "", "flair"),
    ("t2_tirm_tra_dark-fluid", "", "flair"),
    ("anna_t2_tirm_tra_dark-fluid_20200101_7", "anna", "flair"),
    ("anna_t2_spc_da-fl_sag_p2_iso", "anna", "flair"),
    ("ax_flair", "", "flair"),
    ("anna_ax_flair", "anna", "flair"),
    ("AX T2 FLAIR FS", "", "flair"),
    ("anna_t1_mprage_sag", "anna", "t1"),
    ("anna_mprage_gd", "anna", "t1ce"),
    ("post_contrast_T1", "", "t1ce"),
    ("C_flair", "C", "flair"),
    ("2_flair", "2", "flair"),
    ("P2_flair", "P2", "flair"),
    ("flair_p2", "", "flair"),
    ("anna_tumour", "anna", "mask"),
    ("anna_T1_post", "anna", "t1ce"),
    ("anna_t1+c", "anna", "t1ce"),
    ("t1-anna", "anna", "t1"),
    ("anna_T1_to_FLAIR", "anna", "t1"),
    ("anna_T2_SPACE_FLAIR", "anna", "flair"),
    ("anna_T2_SPACE_sag", "anna", "t2"),
    ("anna_T2_space-FLAIR", "anna", "t2"),
    ("anna_FLAIR_to_T1", "anna", "flair"),
    ("anna_T1_FLAIR", "anna", "t1"),
    ("anna_lesion", "anna", "mask"),
    ("anna_FLAIR_lesion", "anna", "mask"),
    ("lesion_study_07_FLAIR", "study_07", "flair"),
    ("anna_roi", "anna", "mask"),
    ("anna_brainmask", "anna", "mask"),
    ("anna_label", "anna", "mask"),
    ("label_07", "07", "mask"),
    ("anna_pd", "anna", "other"),
    ("anna_dwi_b1000", "anna", "other"),
    # folders
    ("masks", "", "mask"),
    ("labelsTr", "", "mask"),
    ("ground_truth", "", "mask"),
    ("FLAIR", "", "flair"),
]


@pytest.mark.parametrize(("stem", "case", "role"), NAMES, ids=[row[0] for row in NAMES])
def test_a_name_gives_the_case_and_the_role(stem: str, case: str, role: str) -> None:
    found = parse_name(stem)
    assert (found.case, found.role) == (case, role)


@pytest.mark.parametrize(
    "stem",
    [
        "scan",
        "anna",
        "PatZ_8",
        "0001",
        "BRATS_001_0003",
        "TCGA_CS_4941_19960909",
        "Patient B2",
        "FL_04",
        "masked",
        "C",
        "tumor_07",
    ],
)
def test_other_names_have_no_role_and_are_their_own_case(stem: str) -> None:
    assert (parse_name(stem).case, parse_name(stem).role) == (stem, None)


def test_a_bias_corrected_or_resampled_image_is_a_copy() -> None:
    assert parse_name("UCSF-PDGM-0004_FLAIR_bias").is_copy
    assert parse_name("sub-01_space-MNI_FLAIR").is_copy
    assert not parse_name("sub-01_acq-3D_FLAIR").is_copy


def test_channels_of_nnunet_are_numbered() -> None:
    assert channel_of("BRATS_001_0003") == ("BRATS_001", 3)
    assert channel_of("BRATS_001") is None
    assert channel_of("IM-0001-0012") is None

"""Sphinx settings of the site: `make docs` builds it into build/site, without a network."""

# Imported before autodoc does so with TYPE_CHECKING set: pydantic then fails to build models with extra fields.
import gliomaseg.evaluation  # noqa: F401
from gliomaseg import __version__

project = "gliomaseg"
author = "The gliomaseg developers"
copyright = "2026, the gliomaseg developers"  # noqa: A001 - Sphinx's name
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.apidoc", "sphinx_copybutton"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**", "src/gliomaseg/pretrained/*/README.md"]
exclude_patterns = ["README.md", "docs/site/**", "docs/conf.py"]
apidoc_modules = [
    {
        "path": "../src/gliomaseg",
        "destination": "docs/reference",
        "separate_modules": True,
        "module_first": True,
        "implicit_namespaces": False,
        # Programs, whose contracts are the guide's pages.
        "exclude_patterns": [
            *(f"../src/gliomaseg/{name}/**" for name in ("cli", "bench", "serve")),
            "../src/gliomaseg/__main__.py",
        ],
    }
]

myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
default_role = "code"
add_module_names = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_type_aliases = {
    name: name
    for name in (
        "Affine", "Batch", "Mask", "Pixels", "PreparedSlices", "Probability", "ScanLike", "SliceIndices", "Spacing",
        "Voxels",
    )
}  # fmt: skip
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "show-inheritance": False, "ignore-module-all": True}
napoleon_use_rtype = False
napoleon_use_ivar = True
nitpicky = False

html_theme = "furo"
html_title = f"gliomaseg {version}"
html_extra_path = ["site"]
html_copy_source = False
html_show_sphinx = False
html_theme_options = {"navigation_with_keys": True}
copybutton_prompt_text = ">>> "

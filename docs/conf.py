"""The site: Sphinx reads this in the folder that `scripts/make_docs.py` has staged, never in docs/ itself."""

from speechgru import __version__

project = "speechgru"
version = release = __version__
html_title = f"speechgru {version}"
language = "en"

extensions = ["myst_parser"]
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4  # links to headings, as code hosts make them
exclude_patterns = ["_build"]

html_theme = "furo"
html_copy_source = False
html_show_sphinx = False
html_show_copyright = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
pygments_style = "default"
pygments_dark_style = "monokai"
highlight_language = "text"

# Signatures of more characters stand an argument a line.
maximum_signature_line_length = 88
# Each name has a heading already.
toc_object_entries = False
smartquotes = False  # two hyphens begin an option
add_module_names = False
# Two rooms may have a class of one name, such as Stage; a signature elsewhere then links to one of them.
suppress_warnings = ["ref.python"]

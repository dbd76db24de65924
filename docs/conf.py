"""Configure Sphinx for `make docs`. A build sends no requests to other hosts."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_extensions"))

# Autodoc imports Airflow, which writes a configuration file into its home. Use a temporary home instead.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _HOME.name

from airflow_provider_stitch import __version__  # noqa: E402 - needs Airflow's home

project = "airflow-provider-stitch"
release = version = __version__
copyright = "the airflow-provider-stitch maintainers, Apache License 2.0"  # noqa: A001 - Sphinx defines this name

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx_copybutton",
    "sphinx_design",
    "reference",
]
exclude_patterns = ["_build"]
nitpicky = True
# Names in annotations that have no entry in the reference. The values of literal types are in the docstrings.
nitpick_ignore = [
    ("py:class", name)
    for name in (
        *("AbstractContextManager", "CounterForm", "Host", "IfRunning", "StartedBy", "Target", "WaitFor"),
        "Redis",  # a class of redis-py, which only the extra `redis` installs
    )
]
nitpick_ignore_regex = [("py:class", r".*\.(T|Asset)")]

# The pages are Markdown. The docstrings are reStructuredText, with code in single backquotes.
myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
myst_url_schemes = ["https", "mailto"]
default_role = "literal"

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

# Inventories of the external names that the pages link to, written by tools/inventories.py.
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", "inventories/python.inv"),
    "airflow": ("https://airflow.apache.org/docs/apache-airflow/stable", "inventories/airflow.inv"),
    "task-sdk": ("https://airflow.apache.org/docs/task-sdk/stable", "inventories/task-sdk.inv"),
}

html_theme = "furo"
html_title = f"airflow-provider-stitch {release}"
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_show_sphinx = False
# Show the copy button for code and commands, but not for their output.
copybutton_selector = "div.highlight-python pre, div.highlight-sh pre, div.highlight-default pre"
# Furo uses the system fonts, so a page loads nothing from other hosts.

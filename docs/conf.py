"""Sphinx configuration of `make docs`. A build sends no requests to other hosts."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS / "_extensions"))

# Autodoc imports the operators, and Airflow writes a configuration into its home when it is imported.
_HOME = tempfile.TemporaryDirectory(prefix="airflow-home-")
os.environ["AIRFLOW_HOME"] = _HOME.name

from airflow_provider_stitch import __version__  # noqa: E402 - once Airflow has a home

project = "airflow-provider-stitch"
release = version = __version__
copyright = "the airflow-provider-stitch maintainers, Apache License 2.0"  # noqa: A001 - Sphinx's name

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
# Literal types; the docstrings list their values.
nitpick_ignore = [
    ("py:class", name)
    for name in (
        *("AbstractContextManager", "CounterForm", "Host", "IfRunning", "StartedBy", "Target", "WaitFor"),
        "Redis",  # redis-py, which only the extra `redis` installs
    )
]
nitpick_ignore_regex = [("py:class", r".*\.(T|Asset)")]

# Pages are Markdown. Docstrings are reStructuredText, where `this` is code.
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

# The external names that these pages link to; tools/inventories.py wrote them.
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
# Output of a command gets no button.
copybutton_selector = "div.highlight-python pre, div.highlight-sh pre, div.highlight-default pre"
# Furo uses the reader's system fonts, so a page loads nothing from other hosts.

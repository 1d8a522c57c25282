"""Templates, styles and ES modules of the pages that people see; `app/api/pages.py` serves them."""

"""Reports: every field declared once, and the rows of a report as text or JSON. Pure."""

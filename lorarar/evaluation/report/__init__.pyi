from .pages import render_page as render_page
from .tables import ReportTable as ReportTable

"""A report on a recognizer: what was measured, as one HTML page that works offline.

>>> from minidl.faces.report import measure, report_html, write_report
"""

from minidl.faces.report.findings import Findings as Findings
from minidl.faces.report.measuring import measure as measure
from minidl.faces.report.page import report_html as report_html
from minidl.faces.report.page import write_report as write_report

"""What happens on the page's events, a file a tab. Errors become words here and nowhere else.

A handler returns what changes on the page, by the part's name; what it leaves out stays as it is.
"""

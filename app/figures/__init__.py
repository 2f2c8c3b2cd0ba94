"""Records in, Plotly figures out, as plain dictionaries; colours are names of CSS variables, set by the theme.

``base`` has what all charts share, ``printed`` draws any of them for print, the other files are one chart each.
"""

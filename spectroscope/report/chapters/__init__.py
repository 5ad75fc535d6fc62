"""Chapters of the page, one file each: QUESTION, its words and charts, and `blocks(results)`, the chapter as HTML."""

"""The series store: validated series, reduced views, thumbnails."""

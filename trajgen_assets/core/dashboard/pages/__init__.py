"""What each page shows, as the values that its template puts into place."""

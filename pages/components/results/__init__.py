"""Parts of the pages that show results: Understand and Predict."""

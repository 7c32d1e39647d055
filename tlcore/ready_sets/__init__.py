"""Ready data sets: what there is, their files, and their pictures."""

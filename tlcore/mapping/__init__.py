"""Maps of the pictures of a data set: each one a point, those that a backbone finds alike near each other."""

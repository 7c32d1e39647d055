"""Simple heads on frozen features: logistic regression and its like, trained in seconds."""

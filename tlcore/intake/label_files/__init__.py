"""What label files beside pictures say."""

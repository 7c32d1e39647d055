"""What the folders around pictures mean."""

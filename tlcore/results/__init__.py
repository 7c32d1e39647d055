"""What a trained model is worth, what it says, and how it leaves."""

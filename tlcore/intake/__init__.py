"""What a person brings becomes clean pictures with a class and a split."""

"""What a run will take on this machine: measured, learnt from every run, told before it begins."""

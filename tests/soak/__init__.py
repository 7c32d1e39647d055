"""The promises of Transfer Lab, each tried for minutes: `python3 -m tests.soak`."""

"""An exported model as a prediction service: `python3 -m tlcore.serve MODEL.zip`."""

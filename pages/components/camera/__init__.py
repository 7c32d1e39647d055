"""The camera: recorded into classes on Data, asked about live on Data and Predict."""

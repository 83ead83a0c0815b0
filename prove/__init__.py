"""What `make prove` runs: networks and packets drawn by lot, traced by the model and by a real kernel, and compared."""

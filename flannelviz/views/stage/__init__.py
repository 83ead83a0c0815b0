"""One picture to step through, click on and keep: what a trace or a timeline does, on the network's own drawing."""

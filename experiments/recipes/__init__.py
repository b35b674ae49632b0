"""What a training run is: its settings, and the named recipes."""

"""The best power of a network, from its measured gradient noise."""

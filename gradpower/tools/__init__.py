"""What every package of the repository uses; none of it needs torch."""

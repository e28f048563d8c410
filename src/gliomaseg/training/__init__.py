"""Training: one loop, its checkpoints, and what it leaves behind."""

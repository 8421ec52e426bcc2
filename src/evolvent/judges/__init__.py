"""What judges are asked and what their replies say: for metrics, and for the tasks of an evaluation."""

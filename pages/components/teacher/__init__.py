"""What the teacher sees and does: who works on what, people, locks, the disk."""

"""What a user would pick instead, written plainly, each as its own documentation says."""

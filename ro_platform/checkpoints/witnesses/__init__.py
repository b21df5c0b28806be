"""Places outside that keep checkpoints: a folder, an S3 bucket, a git repository, a command."""

"""Releases in object storage: a bucket as S3 has it, a lock in it, uploads in parts, and channels that are switched."""

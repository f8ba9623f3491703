"""The supervisor with real processes, judged by a file that step bodies append to."""

"""The tests of durust, packages all the way down so that equal file names do not collide."""

"""What holds the house together and no linter knows: floors, doors, names and the shape of the tree."""

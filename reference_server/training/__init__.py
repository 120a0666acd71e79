"""Training by gradient descent on stated losses."""

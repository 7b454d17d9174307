"""Methods from their own libraries, run beside ours: same split, same evaluator, same budget of trials."""

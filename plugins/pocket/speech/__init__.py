"""What pocket says of photographs: the sentences that its symbols give, and how answers are corrected."""

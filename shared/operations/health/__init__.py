"""How things are: readiness, figures, reports, the doctor."""

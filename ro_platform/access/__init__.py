"""Who may do what: roles, the policy in force, and tokens. Deny by default."""

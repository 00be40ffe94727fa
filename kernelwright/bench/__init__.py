"""Running suites: many searches at once in processes of their own, kept in the store so that any of them can be killed."""

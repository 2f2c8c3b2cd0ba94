"""Question sources: adapters of the ``QuestionSource`` port."""

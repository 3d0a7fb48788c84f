B	upstream5J^ågÏ›ô?FöÌ¹ò?
X÷Ë·2ğ?
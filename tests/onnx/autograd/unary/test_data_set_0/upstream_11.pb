B
upstream11J@±oƒ±u(â?i<àíì?pT¿zÏ×ç?´b¡
†õ?ZÕ4qÞó?—¢”x’»ð?ÜLQYg•ò?K§®A“ó?
B	upstream1JpT¿zÏ×ç?´b¡
†õ?
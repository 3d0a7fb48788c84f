B
upstream13J@F­ÂkÌ%ô?LÑb"á?ºABÁM€ë?fyTöÂ7å?¹¶8Qû÷?r‘dÆ›ä?Vê¾…lÑç?“üûXnë?
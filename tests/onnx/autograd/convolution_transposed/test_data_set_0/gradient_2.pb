B	gradient2J0†ÂŸØšäo@ÀıT:€p@ö2N5ÿo@ò¸À<Ò'p@za.
É0p@!OÀ}=p@
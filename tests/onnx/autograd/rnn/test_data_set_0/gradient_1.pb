B	gradient1J`AdÑ§
¢À»/$õ?ønLZRç¿Ä<M!Q!î¿Ø·nV<Ş?gocæVç¿UÔÚ'åÀãQ¼ÉêÆ@x‰GúÖĞ¿205lCHù¿×Zoö?ğè·~‡Dğ¿